with latest as ({{ latest_revision(source('market', 'funding')) }})

select
    symbol,
    make_timestamp(event_time_ms * 1000) as settled_at,
    time_bucket(interval '1 hour', make_timestamp((event_time_ms + 1800000) * 1000)) as settled_hour,
    funding_rate,
    source,
    revision,
    make_timestamp(known_at_ms * 1000) as known_at
from latest
