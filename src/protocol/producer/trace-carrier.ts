import { EMPTY_TRACE_CARRIER } from '../../model/submission.ts';

const HEADERS = ['traceparent', 'tracestate', 'baggage'] as const;

/** The producer's W3C trace context, as a JSON object in a string. */
export function traceCarrierOf(header: (name: string) => string | undefined): string {
  const carrier: Partial<Record<(typeof HEADERS)[number], string>> = {};
  let isEmpty = true;
  for (const name of HEADERS) {
    const value = header(name);
    if (value === undefined || value === '') continue;
    carrier[name] = value;
    isEmpty = false;
  }
  return isEmpty ? EMPTY_TRACE_CARRIER : JSON.stringify(carrier);
}
