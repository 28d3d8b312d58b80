with latest as ({{ latest('trades') }})

select
    symbol,
    {{ moment('event_time_ms') }} as traded_at,
    trade_id,
    price,
    quantity,
    case when side > 0 then 'buy' when side < 0 then 'sell' end as taker_side,
    {{- provenance() }}
from latest
