with latest as ({{ latest('depth') }})

select
    symbol,
    {{ moment('event_time_ms') }} as quoted_at,
    update_id,
    best_bid,
    best_ask,
    {{ number('best_bid_quantity') }},
    {{ number('best_ask_quantity') }},
    {{ number('bid_quantity_100') }},
    {{ number('ask_quantity_100') }},
    20000 * (best_ask - best_bid) / (best_ask + best_bid) as spread_bps,
    {{- provenance() }}
from latest
