import { ProtocolError } from '../../model/errors.ts';

/** Text that is no JSON at all: HTTP status 400. */
export class JsonSyntaxError extends ProtocolError {
  constructor(field: string, message: string) {
    super(field, `${field === '' ? 'the body' : field} is malformed JSON: ${message}`);
  }
}

/** JSON of a shape, type or range that was not expected: HTTP status 422. */
export class JsonShapeError extends ProtocolError {
  constructor(field: string, message: string) {
    super(field, `${field === '' ? 'the body' : field}: ${message}`);
  }
}
