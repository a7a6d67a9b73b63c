import { isAggregateError, isError } from '../model/kinds.ts';
/** What an error of a socket says; happy eyeballs wraps one per address, and its own message is empty. */
export function socketErrorText(error: NodeJS.ErrnoException): string {
  if (error.message === '' && isAggregateError(error)) {
    return error.errors.map((each) => (isError(each) ? each.message : String(each))).join('; ');
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

function hint(code: string): string {
  if (UNKNOWN_AUTHORITY_CODES.has(code)) {
    return ' (give the certificate of its authority by NODE_EXTRA_CA_CERTS)';
  }
  if (code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER') {
    return ' (is there TLS at that port, or should the URL of the queue begin with http://?)';
  }
  return '';
}
