"""The archive as a web page: for the clerk who looks for an order, and for whoever asks whether last night worked.

Read-only. Pages are made from the catalogues as they are at that moment; `index` only finds and sorts, and can be
thrown away at any time.
"""
