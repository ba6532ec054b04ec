"""Ask for a payment: sign the claims, post them, print where to send the payer."""

import os
import sys
import time
import uuid
from pathlib import Path

import jwt  # pip install "pyjwt[crypto]" requests
import requests

guichet, portal = os.environ["GUICHET"], os.environ["PORTAL"]
now = int(time.time())
claims = {"iss": "mairie-demo", "aud": guichet, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
claims |= {"amount": 4250, "reference": sys.argv[1], "label": "School meals, October"}
claims |= {"email": "parent@example.org", "return_url": f"{portal}/thanks"}
claims |= {"notify_url": f"{portal}/confirmations"}
key = Path(os.environ["MERCHANT_KEY"]).read_text()
token = jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": os.environ["MERCHANT_KID"]})
jose = {"Content-Type": "application/jose"}
answer = requests.post(f"{guichet}/v1/payments", data=token, headers=jose, timeout=15)
if answer.status_code != 201:
    sys.exit(answer.text)
print(answer.json()["checkout_url"])
