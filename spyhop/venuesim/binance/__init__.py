"""The simulator of Binance: USDT-M futures and spot, as their documents and recorded frames have them."""
