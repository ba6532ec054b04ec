"""The three addresses of the shop: a payment is asked for, its hosted form is filled, its end is told."""

import json
from decimal import Decimal

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from payments import RedirectNeeded

from .models import Payment


@csrf_exempt
def create(request: HttpRequest) -> HttpResponse:
    """Open a payment for a portal, which is believed: nothing is signed."""
    asked = json.loads(request.body)
    payment = Payment.objects.create(
        variant="default",
        description=asked["label"],
        total=Decimal(asked["amount"]) / 100,
        currency=asked["currency"],
        billing_email=asked["email"],
    )
    return JsonResponse({"id": payment.pk, "path": f"/payments/{payment.pk}"}, status=201)


def pay(request: HttpRequest, number: int) -> HttpResponse:
    """Show the provider's form, take it, and lead on, as the library's guide does."""
    payment = get_object_or_404(Payment, pk=number)
    try:
        form = payment.get_form(data=request.POST or None)
    except RedirectNeeded as leads_to:
        return HttpResponse(status=303, headers={"Location": str(leads_to)})
    return render(request, "pay.html", {"payment": payment, "form": form})


def ended(request: HttpRequest, number: int, how: str) -> HttpResponse:
    """Tell the payer how it ended."""
    return render(request, "ended.html", {"payment": get_object_or_404(Payment, pk=number), "how": how})


urlpatterns = [
    path("payments", create),
    path("payments/<int:number>", pay),
    path("payments/<int:number>/<str:how>", ended),
]
