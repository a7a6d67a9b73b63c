import { isAggregateError } from '../model/kinds.ts';
import { messageOf } from '../model/thrown.ts';
/** What an error of a socket says; happy eyeballs wraps one per address, and its own message is empty. */
export function socketErrorText(error: NodeJS.ErrnoException): string {
  if (error.message === '' && isAggregateError(error)) {
    return error.errors.map((each) => messageOf(each)).join('; ');
  }
  const text = error.message === '' ? (error.code ?? 'unknown error') : error.message.trimEnd();
  return text + hint(error.code ?? '');
}

const UNKNOWN_AUTHORITY_CODES = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Alerts with which a server ends a handshake, in TLS 1.3 after the client took it for done. */
const CLIENT_CERTIFICATE_ALERT =
  /^ERR_SSL_\w+_ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)$/;

/** The server refused the client's certificate, or misses one: nothing that was sent has been received by anything behind TLS. */
export function isClientCertificateRefused(error: NodeJS.ErrnoException): boolean {
  return CLIENT_CERTIFICATE_ALERT.test(error.code ?? '');
}

function hint(code: string): string {
  if (UNKNOWN_AUTHORITY_CODES.has(code)) {
    return ' (give the certificate of its authority by the option ca, or by NODE_EXTRA_CA_CERTS)';
  }
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
    return ' (is there TLS at that port, or should the URL of the queue begin with http://?)';
  }
  if (CLIENT_CERTIFICATE_ALERT.test(code)) {
    return ' (does the server ask for a certificate of clients? Give it by the options cert and key)';
  }
  return '';
}
