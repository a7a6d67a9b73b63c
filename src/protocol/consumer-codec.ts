/** The consumer protocol, bytes <-> messages: CBOR over WebSocket, as docs/protocol.md describes it. */
export { decodeClientMessage, type EncodeOptions, encodeClientMessage } from './client-message-codec.ts';
export {
  encodeReserved,
  PreparedSubmission,
  prepareSubmission,
  type ReservedItem,
  reservedItemSizeMax,
} from './reserved-codec.ts';
export { decodeServerMessage, encodeServerMessage } from './server-message-codec.ts';
export { StrategyRefusedError } from './strategy-codec.ts';
