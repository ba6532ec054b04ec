<?php
// Take confirmations at notify_url: 204 to a genuine one, 401 to anything else.
$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
$timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
$whsec = getenv('MERCHANT_WHSEC') ?: throw new RuntimeException('MERCHANT_WHSEC is not set');
$secret = base64_decode(substr($whsec, strlen('whsec_')));
$expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $secret, true));
$genuine = false;
foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
    $genuine = hash_equals($expected, $signature) || $genuine;
}
if (!$genuine || abs(time() - (int) $timestamp) > 300) {
    http_response_code(401);
    exit;
}
$told = json_decode($body, true);
// Act once per webhook-id, compare amount and reference with your own, commit, and only then answer.
error_log("$id {$told['type']} {$told['data']['reference']} {$told['data']['amount']}");
http_response_code(204);
