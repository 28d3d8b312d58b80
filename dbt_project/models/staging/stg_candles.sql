with latest as ({{ latest_revision(source('market', 'candles')) }})

select
    symbol,
    make_timestamp(event_time_ms * 1000) as opened_at,
    make_timestamp(event_time_ms * 1000) + interval '{{ var("bar_minutes") }} minutes' as closed_at,
    open,
    high,
    low,
    close,
    volume,
    close * volume as turnover,
    source,
    revision,
    make_timestamp(known_at_ms * 1000) as known_at
from latest
