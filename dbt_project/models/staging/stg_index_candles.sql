{{ candles('index_candles', traded=false) }}
