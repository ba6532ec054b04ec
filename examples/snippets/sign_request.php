<?php
// Ask for a payment: sign the claims, post them, print where to send the payer.
function base64url(string $raw): string
{
    return rtrim(strtr(base64_encode($raw), '+/', '-_'), '=');
}

[$guichet, $portal, $now] = [getenv('GUICHET'), getenv('PORTAL'), time()];
$header = ['alg' => 'EdDSA', 'kid' => getenv('MERCHANT_KID')];
$claims = ['iss' => 'mairie-demo', 'aud' => $guichet, 'iat' => $now, 'exp' => $now + 300];
$claims += ['jti' => bin2hex(random_bytes(16)), 'amount' => 4250, 'reference' => $argv[1]];
$claims += ['label' => 'School meals, October', 'email' => 'parent@example.org'];
$claims += ['return_url' => "$portal/thanks", 'notify_url' => "$portal/confirmations"];
// An Ed25519 private key in PEM (PKCS #8, RFC 8410) ends with its 32-byte seed.
$pem = preg_replace('/-----[A-Z ]+-----|\s/', '', file_get_contents(getenv('MERCHANT_KEY')));
$key = sodium_crypto_sign_secretkey(sodium_crypto_sign_seed_keypair(substr(base64_decode($pem), -32)));
$signed = base64url(json_encode($header)) . '.' . base64url(json_encode($claims));
$token = $signed . '.' . base64url(sodium_crypto_sign_detached($signed, $key));
$post = ['method' => 'POST', 'header' => 'Content-Type: application/jose', 'content' => $token];
$context = stream_context_create(['http' => $post + ['ignore_errors' => true, 'timeout' => 15]]);
$answer = file_get_contents("$guichet/v1/payments", false, $context);
if (!str_contains($http_response_header[0], ' 201 ')) {
    fwrite(STDERR, $answer);
    exit(1);
}
echo json_decode($answer, true)['checkout_url'], "\n";
