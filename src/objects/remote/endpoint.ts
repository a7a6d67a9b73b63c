import { IncorrectUsageError } from '../../model/errors.ts';
import { withoutCredentials } from '../url.ts';

/**
 * Checks an endpoint that the options name. Errors do not show its user name and password.
 *
 * @param option what the option is called
 * @throws IncorrectUsageError if it is not an http(s) URL, or a plain one where that is not allowed
 */
export function checkEndpoint(option: string, endpoint: string, allowHttp: boolean): void {
  const shown = withoutCredentials(endpoint);
  if (!isHttpUrl(endpoint)) {
    throw new IncorrectUsageError(`object store option ${option}: ${shown} is not an http(s) URL`);
  }
  if (endpoint.startsWith('http:') && !allowHttp) {
    throw new IncorrectUsageError(
      `object store option ${option}: ${shown} needs the option allow_http: true`,
    );
  }
}

export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text);
}
