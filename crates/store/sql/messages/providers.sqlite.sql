-- The providers that have messages: one step along the index for each provider, not for each message.
with recursive providers (provider) as (
    select min(provider) from messages
    union all
    select (select min(provider) from messages where provider > providers.provider)
    from providers
    where provider is not null
)
select provider from providers where provider is not null
