"""The steps a payer walks: what each page's form accepts, and the sentence that says how to mend what it does not.

The rules of a card are in ``gateway.core.card``; a form's validators call them and translate their refusals. Forms
decide nothing about the payment: the views hand what they hold to ``gateway.checkout``.
"""
