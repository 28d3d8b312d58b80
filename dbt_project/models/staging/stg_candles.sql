{{ candles('candles') }}
