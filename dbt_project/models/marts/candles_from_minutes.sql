{% set bar_ms = raw_table('candles').period_ms %}
{% set minutes = bar_ms // 60000 %}
{% set bar_sources = raw_table('candles').sources %}
{% set minute_sources = raw_table('minute_candles').sources %}
{% set shared = bar_sources | select('in', minute_sources) | list %}
{% set one_venue = "('" ~ (bar_sources + minute_sources) | join("', '") ~ "')" %}
-- Bars made of one-minute bars, only where every minute is there, beside the venue's own bar of that time.
--
-- Prices are picked, not computed: they must be equal to the last bit. Volume is a sum of n doubles, each rounded once
-- when it was read and once when it was added: its error is at most n * 2^-52 of the sum (Higham, Accuracy and
-- Stability of Numerical Algorithms, 4.2), and nothing beyond that is let through.
-- Compared are bars and minutes of one venue: of one source, or of sources that configs/universe.yaml lets stand in for
-- each other.
with minutes as (
    select
        *,
        {{ whole(ms('opened_at'), bar_ms) }} * {{ bar_ms }} as bar_ms,
        {{ ms('opened_at') }} % {{ bar_ms }} as offset_ms
    from {{ ref('stg_minute_candles') }}
),

resampled as (
    select
        symbol,
        {{ moment('bar_ms') }} as opened_at,
        max(case when offset_ms = 0 then open end) as open,
        max(high) as high,
        min(low) as low,
        max(case when offset_ms = {{ bar_ms - 60000 }} then close end) as close,
        sum(volume) as volume,
        min(source) as source,
        max(source) as last_source,
        bool_and(source in {{ one_venue }}) as of_one_venue
    from minutes
    group by symbol, bar_ms
    having count(*) = {{ minutes }}
)

select
    resampled.symbol,
    resampled.opened_at,
    resampled.open,
    resampled.high,
    resampled.low,
    resampled.close,
    resampled.volume,
    resampled.source,
    candles.open as venue_open,
    candles.high as venue_high,
    candles.low as venue_low,
    candles.close as venue_close,
    candles.volume as venue_volume,
    nullif(concat_ws(
        ', ',
        case when resampled.open <> candles.open then 'open' end,
        case when resampled.high <> candles.high then 'high' end,
        case when resampled.low <> candles.low then 'low' end,
        case when resampled.close <> candles.close then 'close' end,
        case when abs(resampled.volume - candles.volume) > {{ minutes }} * 2.220446049250313e-16 * resampled.volume then 'volume' end
    ), '') as differs_in
from resampled
left join {{ ref('stg_candles') }} as candles
    on candles.symbol = resampled.symbol
    and candles.opened_at = resampled.opened_at
    and (
        (candles.source = resampled.source and candles.source = resampled.last_source)
        {%- if shared %}
        or (candles.source in {{ one_venue }} and of_one_venue)
        {%- endif %}
    )
order by resampled.symbol, resampled.opened_at
