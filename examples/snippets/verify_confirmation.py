"""Take confirmations at notify_url: 204 to a genuine one, 401 to anything else."""

import os

from flask import Flask, request  # pip install flask standardwebhooks
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

app = Flask(__name__)


@app.post("/confirmations")
def confirmations() -> tuple[str, int]:
    try:
        told = Webhook(os.environ["MERCHANT_WHSEC"]).verify(request.get_data(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return "", 401
    # Act once per webhook-id, compare amount and reference with your own, commit, and only then answer.
    payment = told["data"]
    print(request.headers["webhook-id"], told["type"], payment["reference"], payment["amount"], flush=True)
    return "", 204
