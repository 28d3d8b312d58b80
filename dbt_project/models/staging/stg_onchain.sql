with latest as ({{ latest('onchain') }})

select
    symbol,
    cast({{ moment('event_time_ms') }} as date) as day,
    {{ number('exchange_net_flow') }},
    {{ number('mvrv') }},
    {{ number('active_addresses') }},
    {{ number('transactions') }},
    {{ number('hash_rate') }},
    {{ number('fees') }},
    {{- provenance() }}
from latest
