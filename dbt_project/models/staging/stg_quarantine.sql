with latest as ({{ latest('quarantine') }})

select
    symbol,
    series,
    {{ moment('event_time_ms') }} as event_at,
    nullif(rule, '') as rule,
    found,
    expected,
    coalesce(rule, '') = '' as released,
    {{- provenance() }}
from latest
