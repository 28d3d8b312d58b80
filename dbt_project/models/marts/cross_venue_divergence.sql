-- Closes at a second venue against those of the primary, bar by bar; a comparison, never an average of the two.
with pairs as (
    select
        candles.symbol,
        cast(candles.opened_at as date) as day,
        candles.source as source,
        second.source as reference_source,
        10000 * (second.close / candles.close - 1) as divergence_bps
    from {{ ref('stg_candles') }} as candles
    inner join {{ ref('stg_reference_candles') }} as second
        on second.symbol = candles.symbol and second.opened_at = candles.opened_at
)

select
    symbol,
    day,
    source,
    reference_source,
    count(*) as bars_compared,
    {{ percentile('divergence_bps', 0.5) }} as median_bps,
    max(abs(divergence_bps)) as largest_bps,
    count(*) filter (where abs(divergence_bps) > {{ var('divergence_limit_bps') }}) as bars_beyond_limit
from pairs
group by symbol, day, source, reference_source
order by symbol, day
