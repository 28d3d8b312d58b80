-- Values that a source changed after it had published them, by day of the event, and how long after the event's end.
-- Revisions carry the moment at which the change was learned.
with revisions as (
    {% for name, table in var('tables').items() if name not in ['quarantine', 'arrivals'] %}
    select
        cast('{{ name }}' as text) as series,
        symbol,
        source,
        event_time_ms,
        cast(known_at_ms - event_time_ms - {{ table.period_ms }} as double precision) / 3600000 as late_hours
    from {{ source('market', name) }}
    where revision > 0
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select
    series,
    symbol,
    cast({{ moment('event_time_ms') }} as date) as day,
    count(*) as revisions,
    count(distinct event_time_ms) as events_restated,
    {{ percentile('late_hours', 0.5) }} as median_hours_late,
    max(late_hours) as longest_hours_late
from revisions
group by series, symbol, cast({{ moment('event_time_ms') }} as date)
order by series, symbol, day
