{{ candles('reference_candles') }}
