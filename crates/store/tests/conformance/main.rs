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

/// Repeats a call until it succeeds: a statement has little more than a second, and the machine may be busy.
macro_rules! insist {
    ($call:expr) => {
        async {
            loop {
                match $call {
                    Ok(done) => break done,
                    Err(error @ trunkline_store::StoreError::Refused(_)) => panic!("{error}"),
                    Err(_) => {}
                }
            }
        }
    };
}

mod accept;
mod builders;
mod cancel;
mod claim;
mod depths;
mod detail;
mod driven_clock;
mod events;
mod filters;
mod follow_ups;
mod group_commit;
mod idempotency;
mod import;
mod inbound;
mod large_batches;
mod last_message;
mod listing;
mod migrate;
mod open;
mod parked_receipts;
mod pgbouncer;
mod postgres_cancel;
mod postgres_connections;
mod postgres_durability;
mod postgres_events;
mod postgres_failover;
mod postgres_lateness;
mod postgres_listing;
mod postgres_outage;
mod postgres_plans;
mod postgres_probe;
mod postgres_receipts;
mod postgres_row_locks;
mod postgres_slow_link;
mod postgres_sqlstates;
mod postgres_start;
mod postgres_tls;
mod purge;
mod random_commands;
mod receipt_orders;
mod receipts;
mod redrive;
mod references;
mod refusal;
mod release;
mod schedule;
mod settle;
mod sqlite_clock;
mod sqlite_faults;
mod sqlite_file;
mod sqlite_listing;
mod sqlite_plans;
mod sweep;
mod thread;
mod walks;
mod webhook_deliveries;
mod webhook_leases;
mod webhook_load;
mod webhooks;
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
            accepted_messages_and_repeats_are_found
        }
        idempotency {
            a_repeat_in_one_batch_gets_the_first_ones_answer
            a_repeat_in_a_later_batch_gets_the_first_ones_answer
            a_repeat_on_another_node_gets_the_first_ones_answer
            another_request_with_the_key_is_a_conflict
            repeats_leave_no_trace
            new_messages_beside_repeats_have_sequences_without_gaps
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
            leases_due_entries_of_one_provider
            the_entries_due_longest_come_first
            carries_the_message_and_its_conversation
            a_leased_entry_is_not_claimed_again
            every_lease_has_a_greater_token
            an_expired_lease_is_recorded_as_unknown
            attempts_of_expired_leases_are_numbered_without_gaps
            concurrent_claims_never_share_an_entry
            concurrent_claims_of_expired_leases_record_each_attempt_once
            an_entry_can_be_leased_while_it_is_accepted
            returns_the_time_until_the_deadline
            takes_no_more_bytes_than_asked
        }
        settle {
            finish_dispatches_and_leaves_the_queue
            retry_waits_and_keeps_the_progress
            a_dead_letter_is_failed_and_kept
            a_dead_letter_without_an_attempt_records_none
            a_dead_letter_without_an_attempt_keeps_the_last_error
            a_stale_token_changes_nothing_but_the_late_outcome
            a_late_outcome_is_added_once_and_only_to_its_own_attempt
            a_repeated_settlement_takes_effect_once
            an_expired_lease_is_valid_until_the_next_claim
            applied_and_lost_in_one_batch
            the_lease_of_an_unknown_message_is_lost
            absurd_delays_are_bounded
            an_unsure_attempt_is_remembered_until_a_redrive
            lost_attempts_are_counted_for_ever
            reroute_moves_the_entry_and_keeps_its_budget
            reroute_without_an_attempt_takes_effect_once
            reroute_is_refused_unless_every_attempt_was_certainly_not_taken
        }
        follow_ups {
            a_settlement_stores_them_and_they_come_when_they_are_due
            an_attempt_without_an_answer_has_them_too
            what_is_taken_comes_again_after_its_lease_until_it_is_done
            the_earliest_are_taken_first_up_to_the_limit
            only_what_takes_effect_stores_them_and_once
            an_untried_settlement_stores_them_for_the_last_attempt
            each_is_taken_once_by_two_nodes_at_once
            many_settlements_of_one_batch_store_theirs
        }
        release {
            gives_back_as_if_never_claimed
            with_a_stale_token_releases_nothing
            counts_what_was_held
        }
        sweep {
            dead_letters_entries_past_their_deadline
            dead_letters_entries_of_unserved_providers
            dead_letters_entries_of_providers_unserved_for_long
            leaves_entries_that_another_node_serves
            does_not_count_the_time_in_which_no_node_looked
            leaves_entries_not_due_for_long
            leaves_leased_entries
            dead_letters_entries_with_expired_leases
            keeps_the_last_error
            dead_letters_no_more_than_the_limit
        }
        redrive {
            makes_a_dead_letter_pending_again
            only_dead_letters
            attempts_go_on_counting
            has_a_fresh_deadline_by_channel
            matching_each_filter
            matching_takes_the_first_accepted_up_to_the_limit
            goes_to_the_provider_that_serves_its_channel_now
            a_kept_provider_stays
            matching_returns_the_databases_time
        }
        schedule {
            a_message_is_scheduled_until_its_time_and_then_pending
            a_message_that_was_tried_is_pending_while_it_waits
            a_time_that_has_passed_is_now
            the_deadline_counts_from_the_time_to_send
            a_deadline_of_its_own_counts_instead_of_the_operators
            a_redrive_is_due_at_once_with_the_operators_deadline
            what_lies_ahead_pins_no_conversation_to_the_top
            schedule_and_metadata_read_back_everywhere
        }
        cancel {
            a_waiting_message_is_canceled_and_never_claimed
            a_leased_message_is_not_canceled
            a_message_that_may_have_been_taken_is_not_canceled
            an_attempt_before_a_redrive_counts
            a_final_message_is_not_canceled
            receipts_leave_a_canceled_message_canceled
            a_cancel_and_a_claim_never_both_win
        }
        receipts {
            a_receipt_changes_the_status_and_reads_back
            the_greatest_status_counts_and_nothing_goes_back
            of_equal_receipts_the_earliest_counts
            what_matches_nothing_is_kept_and_listed
            without_a_provider_only_an_unambiguous_id_matches
            our_own_id_matches_only_attempts_that_may_have_been_taken
            proof_calls_a_retry_off
            proof_brings_a_dead_letter_back
            a_message_shows_its_latest_receipts_in_their_order
            a_purge_deletes_only_old_receipts_that_match_nothing
        }
        parked_receipts {
            a_receipt_that_comes_first_is_applied_with_the_settlement
            a_receipt_parked_under_a_lease_is_applied_after_any_settlement
            a_receipt_parked_under_a_lease_is_applied_when_the_lease_is_given_back
            an_untried_settlement_applies_them_too
            a_rerouted_message_is_not_finished_by_a_receipt_for_its_former_attempt
            a_late_outcome_brings_the_id_that_a_receipt_names
            an_expired_lease_is_recorded_before_its_receipt_is_applied
            matching_takes_recent_receipts_up_to_the_limit
            receipts_and_settlements_at_once_lose_nothing
        }
        events {
            an_empty_log_ends_where_it_starts
            an_accept_says_that_its_conversation_is_new_first
            every_end_of_a_message_has_its_event
            a_sweep_writes_events_of_what_it_dead_letters
            what_changes_no_status_for_good_writes_no_event
            a_refused_settlement_writes_no_event
            a_walk_by_any_limit_sees_each_event_once_from_any_place
            a_purge_deletes_the_oldest_and_says_from_where_events_are_kept
            readers_see_one_order_while_two_nodes_write
        }
        webhooks {
            a_new_endpoint_starts_at_the_end_of_the_log
            there_are_no_more_endpoints_than_the_limit
            a_change_changes_what_it_names
            rotated_secrets_also_sign_for_a_while
            a_checkpoint_moves_the_cursor_and_counts
            a_disabled_endpoint_has_its_event_and_no_lease
        }
        webhook_leases {
            one_node_at_a_time_holds_a_lease
            concurrent_leases_never_share_an_endpoint
            every_change_takes_the_lease_away
            no_more_than_the_limit_are_leased_at_once
        }
        webhook_deliveries {
            deliveries_read_back_oldest_first
            a_checkpoint_replaces_and_removes_deliveries
            the_holder_of_a_lease_loads_pending_deliveries_in_bounded_parts
            a_replay_sends_failed_deliveries_after_its_place_again
            a_deleted_endpoint_leaves_no_deliveries
            enabling_makes_pending_deliveries_due_at_once_with_fresh_attempts
            a_replay_goes_back_and_is_done_where_it_began
            a_replay_since_a_time_starts_with_its_first_event
            a_replay_of_failed_deliveries_makes_them_due_afresh
            a_purge_deletes_failed_deliveries_of_events_that_are_gone
        }
        receipt_orders {
            every_order_and_repeat_ends_alike
        }
        filters {
            each_filter_alone_lists_what_matches
            filters_together_list_what_matches_all
        }
        last_message {
            is_the_last_of_the_thread
            each_conversation_has_its_own
            an_assigned_message_can_be_the_last
            several_details_come_in_one_call
        }
        import {
            an_import_is_final_and_has_no_conversation_yet
            an_import_is_recognized_by_its_provider_message_id
            an_import_with_other_participants_is_another_message
            messages_without_a_conversation_come_in_order_and_in_pages
            an_assigned_message_joins_its_conversation
            assignments_and_accepts_at_once_count_exactly
        }
        purge {
            deletes_only_old_keys
            a_deleted_key_is_free
            deletes_no_more_than_the_limit
        }
        depths {
            count_by_provider_and_state
            have_the_age_of_the_oldest_entry
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
            shows_when_a_pending_message_is_due
            lists_the_attempts_in_order
            is_one_snapshot
        }
        migrate {
            twice_is_nothing_the_second_time
            answers_a_probe
        }
        large_batches {
            accepted_messages_follow_each_other_as_in_the_batch
            repeats_among_accepted_messages_take_no_place
            accepted_messages_are_found_in_their_order
            the_first_of_imports_with_one_id_is_stored
            assigned_messages_follow_each_other_as_in_the_batch
            the_entries_due_longest_are_claimed_first_with_their_messages
            every_settlement_meets_its_own_entry
            only_what_is_held_is_released
            a_sweep_returns_every_dead_letter
            a_redrive_takes_the_first_accepted
            many_attempts_are_listed_in_order
        }
        group_commit {
            large_messages_share_commits_of_bounded_size
            answers_only_what_is_stored
            waiting_messages_share_a_commit
            a_lone_message_is_committed_at_once
            a_full_queue_refuses_at_once
            a_repeat_in_the_same_commit_gets_the_same_answer
            waiting_messages_are_answered_when_the_queue_is_dropped
            runs_to_the_end_when_the_requester_leaves
        }
    }
    databases: {
        webhook_load {
            endpoints_with_many_deliveries_hold_up_no_other
        }
        refusal {
            a_refused_message_fails_alone
            a_refused_batch_leaves_no_trace
            a_refused_settlement_changes_nothing
            the_raw_payload_is_kept
            the_payload_of_an_import_is_kept
        }
        references {
            the_audit_finds_dangling_references
            no_reference_dangles
        }
    }
}
