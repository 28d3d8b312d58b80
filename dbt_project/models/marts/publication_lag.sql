-- How late rows of each series arrived at the live runner, beside the lag that known_at rests on. Both count from the
-- moment at which the row could be known at the earliest: the end of the period that it describes.
with configured (series, configured_ms) as (
    values
    {% for name, table in var('tables').items() %}
    (cast('{{ name }}' as text), cast({{ [table.lag_ms - table.period_ms, 0] | max }} as bigint)){{ ',' if not loop.last }}
    {% endfor %}
),

measured as (
    select
        source,
        series,
        symbol,
        count(*) as arrivals,
        {{ percentile('lag_ms', 0.5) }} as p50_ms,
        {{ percentile('lag_ms', 0.99) }} as p99_ms,
        max(lag_ms) as longest_ms,
        max(event_at) as last_event_at
    from {{ ref('stg_arrivals') }}
    group by source, series, symbol
)

select
    measured.*,
    configured_ms,
    p99_ms <= configured_ms as configured_covers_p99
from measured
left join configured on configured.series = measured.series
order by series, symbol, source
