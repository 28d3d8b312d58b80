-- Rows that are there against rows that should be, from each symbol's first row of a series to its last.
-- Settlement stamps are some milliseconds off: an event counts for the minute it is nearest to.
{% set bar = var('bar_minutes') ~ ' minutes' %}
{% set steps = {'candles': bar, 'open_interest': bar, 'funding': '8 hours', 'fear_greed': '1 day', 'onchain': '1 day'} %}

with events as (
    {% for name in steps %}
    select distinct '{{ name }}' as series, symbol, make_timestamp((event_time_ms + 30000) // 60000 * 60000000) as event_at
    from {{ source('market', name) }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

steps as (
    select * from (values
        {% for name, step in steps.items() %}('{{ name }}', interval '{{ step }}'){{ ',' if not loop.last }}{% endfor %}
    ) as pairs (series, step)
),

spans as (
    select series, symbol, min(event_at) as first_event_at, max(event_at) as last_event_at
    from events
    group by all
),

months as (
    select series, symbol, date_trunc('month', event_at) as month, count(*) as rows_found
    from events
    group by all
),

calendar as (
    select
        series,
        symbol,
        first_event_at,
        last_event_at,
        unnest(generate_series(date_trunc('month', first_event_at), last_event_at, interval '1 month')) as month
    from spans
),

expected as (
    select
        *,
        greatest(month, first_event_at) as from_at,
        least(month + interval '1 month', last_event_at + step) as until_at
    from calendar
    inner join steps using (series)
)

select
    series,
    symbol,
    cast(month as date) as month,
    coalesce(rows_found, 0) as rows_found,
    cast(greatest(1, round(epoch(until_at - from_at) / epoch(step))) as bigint) as rows_expected,
    coalesce(rows_found, 0) / greatest(1, round(epoch(until_at - from_at) / epoch(step))) as coverage
from expected
left join months using (series, symbol, month)
order by series, symbol, month
