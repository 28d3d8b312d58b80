with latest as ({{ latest('funding') }})

select
    symbol,
    {{ moment('event_time_ms') }} as settled_at,
    {{ moment(whole('event_time_ms + 1800000', 3600000) ~ ' * 3600000') }} as settled_hour,
    funding_rate,
    {{- provenance() }}
from latest
