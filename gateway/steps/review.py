"""The forms that carry a decision alone: confirming a payment the bank did not question, and leaving a result page.

Which button was pressed is the posted ``action``; the form proves that the post comes from our own page.
"""

from flask_wtf import FlaskForm


class ReviewForm(FlaskForm):  # type: ignore[misc]  # flask_wtf ships no types
    """Guards the confirmation page of a payment whose bank asked no code."""


class ResultForm(FlaskForm):  # type: ignore[misc]  # flask_wtf ships no types
    """Guards the result pages: try again, or go back to the merchant's site."""
