import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseMultistatus } from '../../src/objects/remote/webdav.ts';

describe('answers to PROPFIND', () => {
  test('are read whatever the prefix of the namespace', () => {
    const apache = `<?xml version="1.0" encoding="utf-8"?>
<D:multistatus xmlns:D="DAV:" xmlns:ns0="DAV:">
<D:response xmlns:lp1="DAV:" xmlns:lp2="http://apache.org/dav/props/">
<D:href>/dav/p/</D:href>
<D:propstat><D:prop><lp1:resourcetype><D:collection/></lp1:resourcetype>
<lp1:getlastmodified>Thu, 01 Jan 1970 00:00:10 GMT</lp1:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
<D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>
</D:response>
<D:response xmlns:lp1="DAV:">
<D:href>/dav/p/0-in.bin</D:href>
<D:propstat><D:prop><lp1:resourcetype/><lp1:getcontentlength>12</lp1:getcontentlength>
<lp1:getlastmodified>Thu, 01 Jan 1970 00:00:20 GMT</lp1:getlastmodified></D:prop>
<D:status>HTTP/1.1 200 OK</D:status></D:propstat>
</D:response>
</D:multistatus>`;
    assert.deepEqual(parseMultistatus(apache), [
      { href: '/dav/p/', isCollection: true, sizeBytes: 0, modifiedMs: 10_000 },
      { href: '/dav/p/0-in.bin', isCollection: false, sizeBytes: 12, modifiedMs: 20_000 },
    ]);
    const plain = apache.replace(/(<\/?)(?:D|lp1):/g, '$1').replace('xmlns:D="DAV:"', 'xmlns="DAV:"');
    assert.deepEqual(parseMultistatus(plain), parseMultistatus(apache));
  });

  test('have entities in their names', () => {
    const [first, second] = parseMultistatus(
      '<multistatus xmlns="DAV:"><response><href>/a&amp;b&#x41;&#66;&lt;</href></response>' +
        '<response><href><![CDATA[/c&d]]></href></response></multistatus>',
    );
    assert.equal(first?.href, '/a&bAB<');
    assert.equal(second?.href, '/c&d');
  });

  test('may be empty', () => {
    assert.deepEqual(parseMultistatus('<D:multistatus xmlns:D="DAV:"/>'), []);
  });

  test('are refused if they are something else', () => {
    for (const wrong of [
      '',
      '<html></html>',
      '<multistatus><response></response></multistatus>',
      '<multistatus>',
    ]) {
      assert.throws(() => parseMultistatus(wrong), SyntaxError, wrong);
    }
  });
});
