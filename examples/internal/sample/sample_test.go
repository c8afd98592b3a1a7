package sample

import (
	"bytes"
	"encoding/binary"
	"image/png"
	"testing"
)

func TestPNG(t *testing.T) {
	var b bytes.Buffer
	if err := PNG(&b, 1<<20); err != nil {
		t.Fatal(err)
	}
	if b.Len() < 1<<20*9/10 || b.Len() > 1<<20*11/10 {
		t.Errorf("%d bytes", b.Len())
	}
	if _, err := png.Decode(&b); err != nil {
		t.Error(err)
	}
}

func TestWAV(t *testing.T) {
	var b bytes.Buffer
	if err := WAV(&b, 10_044); err != nil {
		t.Fatal(err)
	}
	if b.Len() != 10_044 || binary.LittleEndian.Uint32(b.Bytes()[40:]) != 10_000 {
		t.Errorf("%d bytes, header %q", b.Len(), b.Bytes()[:44])
	}
}
