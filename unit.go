package walve

import (
	"io"
	"sync"

	"github.com/bodokaiser/walve/internal/stream"
)

const (
	smallUnit = len(stream.Buffer{})
	// largeUnit bounds a masked frame, or one that cannot be written by
	// writev. 16 KiB is slower, 1 MiB as well: it leaves the cache before the
	// system has copied it.
	largeUnit = 64 << 10
)

// A unit is whole frames on their way out, headers included: b[r:w]. It is
// pooled, so that a Conn that writes nothing holds none.
type unit struct {
	b    []byte
	r, w int
}

var (
	smallUnits = sync.Pool{New: func() any { return &unit{b: make([]byte, smallUnit)} }}
	largeUnits = sync.Pool{New: func() any { return &unit{b: make([]byte, largeUnit)} }}
)

// newUnit returns an empty unit with room for n bytes.
func newUnit(n int) *unit {
	var u *unit
	switch {
	case n <= smallUnit:
		u = smallUnits.Get().(*unit)
	case n <= largeUnit:
		u = largeUnits.Get().(*unit)
	default:
		u = &unit{b: make([]byte, n)}
	}
	u.r, u.w = 0, 0
	return u
}

// free gives u back; nobody may use it any more.
func (u *unit) free() {
	switch len(u.b) {
	case smallUnit:
		smallUnits.Put(u)
	case largeUnit:
		largeUnits.Put(u)
	}
}

func (u *unit) rest() []byte { return u.b[u.r:u.w] }

func (u *unit) room() int { return len(u.b) - u.w }

// writeTo has w write what is left of u.
func (u *unit) writeTo(w io.Writer) (int, error) {
	n, err := w.Write(u.rest())
	u.r += n
	return n, err
}

// append appends p, for which there is room.
func (u *unit) append(p []byte) { u.w += copy(u.b[u.w:], p) }

// appendHeader appends h, for which there is room.
func (u *unit) appendHeader(h Header) {
	b, _ := h.AppendBinary(u.b[:u.w]) // h is ours
	u.w = len(b)
}

// appendMasked appends p masked with key.
func (u *unit) appendMasked(p []byte, key [4]byte) {
	maskCopy(u.b[u.w:], p, key)
	u.w += len(p)
}

// fillRoom is where payload is gathered in an empty unit before its header is
// known: behind room for that.
func (u *unit) fillRoom() []byte { return u.b[maxHeaderSize:] }
