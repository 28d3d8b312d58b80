{{ candles('minute_candles') }}
