"""The encoding of responses, without a server."""

import sys
import unittest

from support import Quiet

from transom._batch import record
from transom._packed import PADDING, REQUEST, RESPONSE, decode_params, encode, end_of_params


class TestPacked(Quiet, unittest.TestCase):
    def test_layout(self):
        self.assertEqual((REQUEST.size, RESPONSE.size), (56, 32))
        for length in range(40):
            packed = b"".join(encode(5, 200, b"a: b\r\n", b"x" * length))
            self.assertEqual(len(packed) % 8, 0)
            self.assertLess(len(packed) - 38 - length, 8)
            self.assertEqual(RESPONSE.unpack_from(packed), (len(packed), 200, 5, 6, length))
            self.assertEqual((packed[6:8], packed[20:24]), (b"\0" * 2, b"\0" * 4))
            self.assertEqual(packed[32 : 38 + length], b"a: b\r\n" + b"x" * length)
        self.assertEqual(PADDING[0], b"")

    def test_params(self):
        data = b"..\2\0\0\0\3\0\0\0idabc\1\0\0\0\0\0\0\0x!"
        if sys.byteorder == "little":
            self.assertEqual(decode_params(data, 2, 2), ({"id": "abc", "x": ""}, 24))
            self.assertEqual(end_of_params(data, 2, 2), 24)

    def test_an_answer_beyond_what_a_record_can_hold(self):
        class Huge(bytes):
            def __len__(self):
                return 1 << 33

        packed = record(1, (200, b"", Huge()))
        self.assertEqual(RESPONSE.unpack_from(packed[0])[1], 500)
        self.assertIn("too large: stream it", self.log[0])
