with latest as ({{ latest('open_interest') }})

select
    symbol,
    {{ moment('event_time_ms') }} as measured_at,
    open_interest,
    {{- provenance() }}
from latest
