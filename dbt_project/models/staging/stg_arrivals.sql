with latest as ({{ latest('arrivals') }})

select
    symbol,
    series,
    {{ moment('event_time_ms') }} as event_at,
    lag_ms,
    {{- provenance() }}
from latest
