with latest as ({{ latest('fear_greed') }})

select
    symbol,
    cast({{ moment('event_time_ms') }} as date) as day,
    fear_greed,
    {{- provenance() }}
from latest
