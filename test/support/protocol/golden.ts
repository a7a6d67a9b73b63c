import { readFileSync } from 'node:fs';

/** One message of a recorded session. They lie in test/fixtures/golden. */
export type GoldenMessage = { readonly conn: number; readonly t_ms: number } & (
  | { readonly kind: 'tcp'; readonly direction: GoldenDirection; readonly event: string }
  | { readonly kind: 'raw'; readonly direction: GoldenDirection; readonly hex: string }
  | GoldenHttpMessage
  | GoldenFrame
);

export type GoldenDirection = 'client to server' | 'server to client';

export interface GoldenHttpMessage {
  readonly kind: 'request' | 'response';
  readonly direction: GoldenDirection;
  readonly request_line?: string;
  readonly status_line?: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: string;
  readonly body_hex?: string;
  readonly body_elided?: string;
  readonly hex: string;
}

export interface GoldenFrame {
  readonly kind: 'frame';
  readonly direction: GoldenDirection;
  readonly opcode: 'binary' | 'text' | 'continuation' | 'ping' | 'pong' | 'close';
  readonly fin: boolean;
  readonly masked: boolean;
  readonly header_hex: string;
  readonly payload_hex: string;
  /** Decoded; an integer beyond 2^53 - 1 is a decimal string, a byte string is `{"$bytes": hex}`. */
  readonly cbor?: unknown;
  readonly cbor_remarks?: readonly string[];
  readonly text?: string;
  readonly close_code?: number;
}

export interface GoldenSession {
  readonly name: string;
  readonly what: string;
  readonly client: string;
  readonly server_flags: readonly string[];
  readonly messages: readonly GoldenMessage[];
}

export function goldenText(file: string): string {
  return readFileSync(new URL(`../../fixtures/golden/${file}`, import.meta.url), 'utf8');
}

export function goldenSessions(file: 'http.json' | 'websocket.json'): readonly GoldenSession[] {
  return JSON.parse(goldenText(file)) as readonly GoldenSession[];
}
