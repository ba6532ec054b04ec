<?php

/**
 * Runs PHP's own SoapClient over the WSDL that the server itself serves.
 *
 * Verbs come as lines of JSON and are answered by one line each. A fault's detail is told as the object that merchants'
 * code reads: $fault->detail->FonctionnelleErreur->code.
 */

declare(strict_types=1);

ini_set('soap.wsdl_cache_enabled', '0');

function client(string $wsdl, array $options): SoapClient
{
    static $clients = [];
    return $clients[$wsdl . json_encode($options)] ??= new SoapClient($wsdl, $options + ['exceptions' => true]);
}

while (($line = fgets(STDIN)) !== false) {
    $asked = json_decode($line, true, 64, JSON_THROW_ON_ERROR);
    try {
        $client = client($asked['wsdl'], $asked['options'] ?? []);
        $said = ['answer' => $client->__soapCall($asked['operation'], [$asked['arguments']])];
    } catch (SoapFault $fault) {
        $facts = ['faultcode' => $fault->faultcode, 'detail' => $fault->detail ?? null];
        $said = ['raised' => 'SoapFault', 'text' => $fault->getMessage(), 'facts' => $facts];
    }
    fwrite(STDOUT, json_encode($said, JSON_THROW_ON_ERROR) . "\n");
}
