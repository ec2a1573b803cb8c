//! The conformance suite: what a store must do, written once and run against all: the model, SQLite in a file and in memory,
//! and PostgreSQL.
//!
//! A case is an `async fn case(world: &World)`; the table below makes it a test for every store, so that names such as
//! `postgres::accept::hundred_for_one_pair` say who broke which rule. What only one store can do (lose its server, share
//! its file) is tested in the modules named after it; `random_commands` compares the two databases with the reference
//! model, command by command.
//!
//! No case sleeps: the clock of memory and SQLite is driven, PostgreSQL measures with its own, so cases say "already
//! over" with zero and "not yet" with an hour.

#![allow(
    clippy::unwrap_used,
    reason = "a case that cannot go on should stop where it stands"
)]

mod accept;
mod builders;
mod claim;
mod depths;
mod detail;
mod driven_clock;
mod group_commit;
mod idempotency;
mod import;
mod inbound;
mod large_batches;
mod listing;
mod migrate;
mod open;
mod pgbouncer;
mod postgres_connections;
mod postgres_durability;
mod postgres_failover;
mod postgres_lateness;
mod postgres_outage;
mod postgres_plans;
mod postgres_probe;
mod postgres_row_locks;
mod postgres_slow_link;
mod postgres_sqlstates;
mod postgres_start;
mod postgres_tls;
mod purge;
mod random_commands;
mod redrive;
mod references;
mod refusal;
mod release;
mod settle;
mod sqlite_clock;
mod sqlite_faults;
mod sqlite_file;
mod sweep;
mod thread;
mod world;

/// The tests of one store, in modules with the names of those the cases are in.
macro_rules! tests_of {
    ($kind:ident: $($module:ident { $($case:ident)+ })+) => {
        $(
            mod $module {
                $(
                    #[tokio::test]
                    async fn $case() {
                        let world = crate::world::World::create(crate::world::Kind::$kind).await;
                        crate::$module::$case(&world).await;
                    }
                )+
            }
        )+
    };
}

macro_rules! suite {
    (
        every store: { $($module:ident { $($case:ident)+ })+ }
        databases: { $($database_module:ident { $($database_case:ident)+ })+ }
    ) => {
        mod memory {
            tests_of! { Memory: $($module { $($case)+ })+ }
        }
        mod sqlite_memory {
            tests_of! { SqliteMemory: $($module { $($case)+ })+ }
        }
        mod sqlite {
            tests_of! { Sqlite: $($module { $($case)+ })+ $($database_module { $($database_case)+ })+ }
        }
        mod postgres {
            tests_of! { Postgres: $($module { $($case)+ })+ $($database_module { $($database_case)+ })+ }
        }
    };
}

suite! {
    every store: {
        accept {
            messages_read_back_to_the_byte
            the_first_conversation_has_id_one
            directions_and_sms_and_mms_share_a_conversation_and_email_has_its_own
            sequences_follow_the_batch_and_the_latest_timestamp_is_the_last_activity
            an_older_message_does_not_turn_back_the_last_activity
            answers_are_in_the_order_of_the_batch
            an_empty_batch_is_nothing
            hundred_for_one_pair
            many_pairs_from_two_nodes
            what_became_of_messages_is_found
        }
        idempotency {
            a_repeat_in_one_batch_gets_the_first_ones_answer
            a_repeat_in_a_later_batch_gets_the_first_ones_answer
            a_repeat_on_another_node_gets_the_first_ones_answer
            another_request_with_the_key_is_a_conflict
            losers_leave_no_trace
            winners_beside_losers_keep_their_sequences_without_gaps
            one_message_per_key_from_two_nodes_at_once
            an_earlier_request_is_found_by_its_key
            keys_differ_by_case
        }
        inbound {
            is_received_and_never_queued
            a_repeat_gets_the_first_ones_answer
            repeats_in_one_batch_and_on_two_nodes_are_one_message
            the_same_id_at_another_provider_is_another_message
            the_same_id_with_other_participants_is_another_message
            ids_and_keys_do_not_meet
        }
        claim {
            hands_out_what_is_due_of_one_provider
            those_due_longest_come_first
            carries_the_message_and_its_conversation
            a_lease_keeps_others_away
            every_lease_has_a_greater_token
            an_expired_lease_is_recorded_as_unknown
            vanished_workers_are_numbered_without_gaps
            concurrent_claims_never_share_an_entry
            concurrent_claims_of_expired_leases_record_each_try_once
            an_entry_can_be_leased_while_it_is_accepted
            tells_the_time_left_until_the_deadline
            takes_no_more_bytes_than_asked
        }
        settle {
            finish_dispatches_and_leaves_the_queue
            retry_waits_and_keeps_the_progress
            a_dead_letter_is_failed_and_kept
            an_end_without_a_try_records_no_attempt
            an_end_without_a_try_keeps_the_last_error
            a_stale_token_changes_nothing_but_the_late_outcome
            evidence_comes_late_only_once_and_only_for_its_own_try
            twice_takes_effect_once
            a_lease_that_ran_out_still_counts_until_someone_claims
            applied_and_lost_in_one_batch
            of_unknown_messages_is_lost
            absurd_delays_end_with_time_itself
            an_unsure_attempt_is_remembered_until_a_redrive
            reroute_moves_the_entry_and_keeps_its_budget
            reroute_without_an_attempt_takes_effect_once
            reroute_is_refused_unless_every_attempt_was_certainly_not_taken
        }
        release {
            gives_back_as_if_never_claimed
            with_a_stale_token_releases_nothing
            counts_what_was_held
        }
        sweep {
            buries_what_is_past_its_deadline
            buries_what_nobody_serves
            buries_what_no_node_has_served_for_long
            leaves_what_another_node_serves
            does_not_count_the_time_in_which_no_node_looked
            leaves_what_has_not_been_due_for_long
            leaves_what_is_leased
            buries_what_a_vanished_worker_held
            keeps_the_last_error
            buries_no_more_than_asked
        }
        redrive {
            makes_a_dead_letter_pending_again
            only_dead_letters
            attempts_go_on_counting
            has_a_fresh_deadline_by_channel
            matching_each_filter
            matching_takes_the_first_accepted_up_to_the_limit
            goes_to_the_provider_that_serves_its_channel_now
            matching_tells_when_by_the_databases_clock
        }
        import {
            an_import_is_final_and_belongs_nowhere_yet
            an_import_is_recognized_by_its_provider_message_id
            an_import_with_other_participants_is_another_message
            unthreaded_messages_come_in_order_and_in_pages
            an_assigned_message_joins_its_conversation
            assignments_and_accepts_at_once_count_exactly
        }
        purge {
            forgets_old_keys_only
            a_forgotten_key_is_free
            forgets_no_more_than_asked
        }
        depths {
            count_by_provider_and_state
            tell_how_long_the_oldest_is_due
        }
        listing {
            conversations_by_latest_activity
            conversations_with_equal_activity_by_highest_id
            conversations_of_a_channel_and_of_a_participant_on_either_side
            a_walk_over_conversations_never_repeats_one
            totals_are_counted_up_to_ten_thousand
            messages_newest_first_with_each_filter
            a_walk_over_messages_sees_each_once
            pages_are_bounded_by_bytes
        }
        thread {
            is_ordered_by_timestamp_then_joining
            pages_and_cursors_agree
            a_walk_neither_skips_nor_repeats_what_existed
            of_an_unknown_conversation_is_none
        }
        detail {
            of_an_unknown_message_is_none
            tells_what_a_pending_message_waits_for
            lists_the_attempts_in_order
            is_of_one_moment
        }
        migrate {
            twice_is_nothing_the_second_time
            answers_a_probe
        }
        large_batches {
            accepted_messages_follow_each_other_as_in_the_batch
            repeats_among_accepted_messages_take_no_place
            what_became_of_messages_is_found_in_their_order
            of_imports_with_one_id_the_first_counts
            assigned_messages_follow_each_other_as_in_the_batch
            those_due_longest_are_claimed_first_with_their_messages
            every_settlement_meets_its_own_entry
            only_what_is_held_is_released
            a_sweep_tells_the_truth_about_each
            a_redrive_takes_the_first_accepted
            many_attempts_are_listed_in_order
        }
        group_commit {
            large_messages_share_commits_of_bounded_size
            answers_only_what_is_stored
            whoever_waits_shares_a_commit
            nobody_is_held_back_for_company
            a_full_queue_refuses_at_once
            a_repeat_in_the_same_commit_gets_the_same_answer
            whoever_waits_when_it_is_dropped_is_answered
            runs_to_the_end_when_the_requester_leaves
        }
    }
    databases: {
        refusal {
            a_refused_message_fails_alone
            a_refused_batch_leaves_no_trace
            a_refused_settlement_changes_nothing
            the_raw_payload_is_kept
            the_payload_of_an_import_is_kept
        }
        references {
            the_audit_finds_what_refers_to_nothing
            everything_refers_to_what_is_there
        }
    }
}
