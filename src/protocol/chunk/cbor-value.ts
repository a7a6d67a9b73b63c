/** How deep values of operations may nest. */
export const VALUE_DEPTH_MAX = 500;

/** Tags with a meaning here; any other value with a tag is a {@link CborTag}. */
export const TAG_DATE_TEXT = 0;
export const TAG_DATE_SECONDS = 1;
export const TAG_BIGNUM = 2;
export const TAG_NEGATIVE_BIGNUM = 3;
export const TAG_UINT8_ARRAY = 64;
export const TAG_SET = 258;
export const TAG_MAP = 259;
export const TAG_SELF_DESCRIBED = 55_799;

/** A CBOR value with a tag that JavaScript has no counterpart for (a decimal, a UUID, ...). Encodes as it was decoded. */
export class CborTag {
  readonly tag: number | bigint;
  readonly value: unknown;

  constructor(tag: number | bigint, value: unknown) {
    this.tag = tag;
    this.value = value;
  }
}
