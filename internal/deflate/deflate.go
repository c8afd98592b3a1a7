// Package deflate compresses and inflates the messages of permessage-deflate:
// RFC 7692, 7.2.
//
// What follows was measured on messages of JSON (one core, klauspost 1.20.4, in
// us for each message, with how many times smaller it gets), and is why the
// compressor is klauspost's at level 1, primed with the last 4 KiB:
//
//	                          1 KiB         16 KiB        memory
//	no takeover
//	  std level 1            15     2.5     84    4.2     pooled
//	  klauspost level 1       6.2   2.5     36    4.2     pooled
//	  klauspost stateless     6.0   2.5     35    4.2     none
//	takeover, compressor kept
//	  std level 1            15     3.0     84    4.4     1175 KiB per connection
//	  klauspost level 1       5.2   3.8     33    4.6      808 KiB per connection
//	takeover, window kept, for another connection's compressor
//	  stateless, 8 KiB       11     3.8     38    4.5     8 KiB, and 10 KiB of garbage and 16 KiB of stack per message
//	  stateless, 4 KiB        8.7   3.7     44    4.5     4 KiB, and 5 KiB of garbage and 16 KiB of stack per message
//	  level 1, 32 KiB        46     3.8     77    4.6     32 KiB
//	  level 1, 4 KiB         12     3.7     40    4.5     4 KiB
//	  level 1, 2 KiB          9.5   3.6     37    4.5     2 KiB
//	  level 5, 4 KiB         19     4.1     69    5.1     4 KiB
//	  window of 4 KiB        19     4.1     68    5.0     4 KiB
//
// A message of 64 bytes gets longer without takeover and half as long with it.
package deflate

import (
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

const (
	// MaxOverhead is by how much Append's output was ever seen to be longer than
	// its input, and some more: 52, of random bytes at levels 7 to 9.
	MaxOverhead = 64

	// MaxPiece is the longest piece that Append takes.
	MaxPiece = 65535 - MaxOverhead

	// dictSize bounds what a Deflater remembers of what it has sent, whatever
	// the window.
	dictSize = 4 << 10
)

// A Deflater compresses the messages of one direction of a connection, one
// after another, in pieces. What Append returns for one piece can be inflated
// without the next.
//
// It holds the last 4 KiB that were sent, if the context is taken over, and
// nothing else. The compressors, of 0.8 to 1.4 MB each, are pooled and begin
// with those bytes as their dictionary, unless Append gets the very one back
// that compressed the piece before. It is not safe for concurrent use.
type Deflater struct {
	level    int
	bits     int
	takeover bool
	dict     []byte

	id     uint64 // tells Deflaters apart without keeping them alive
	tries  uint64 // counts calls of Append
	synced uint64 // the try that was the last to be committed
}

var lastID atomic.Uint64

// NewDeflater returns a Deflater of the given level, 1 to 9, that refers back
// no further than 1 << bits bytes, 8 to 15, and takes its context over from one
// message to the next, or not. The level counts with 15 bits only: there is one
// compressor for smaller windows.
func NewDeflater(level, bits int, takeover bool) *Deflater {
	return &Deflater{level: level, bits: bits, takeover: takeover, id: lastID.Add(1)}
}

// A compressor writes to out, and knows whose context it has.
type compressor struct {
	w          *flate.Writer
	out        []byte
	owner, try uint64
}

func (c *compressor) Write(p []byte) (int, error) {
	c.out = append(c.out, p...)
	return len(p), nil
}

var (
	byLevel [10]sync.Pool
	byBits  [15]sync.Pool
)

func (d *Deflater) pool() *sync.Pool {
	if d.bits < 15 {
		return &byBits[d.bits]
	}
	return &byLevel[d.level]
}

func (d *Deflater) compressor() *compressor {
	if c, ok := d.pool().Get().(*compressor); ok {
		return c
	}
	c := new(compressor)
	// Neither fails: level and size are in range.
	if d.bits < 15 {
		c.w, _ = flate.NewWriterWindow(c, 1<<d.bits)
	} else {
		c.w, _ = flate.NewWriter(c, d.level)
	}
	return c
}

// Append compresses p, of at most MaxPiece bytes, as the next piece of a
// message, the last one if fin says so, and appends the result to dst. Nothing
// is remembered before Commit: a piece that was not sent after all leaves no
// trace.
func (d *Deflater) Append(dst, p []byte, fin bool) []byte {
	c := d.compressor()
	if c.owner != d.id || c.try != d.synced {
		c.w.ResetDict(c, d.dict)
	}
	d.tries++
	c.owner, c.try = d.id, d.tries
	c.out = dst
	c.w.Write(p) // c returns no errors
	c.w.Flush()
	dst, c.out = c.out, nil
	d.pool().Put(c)
	if fin {
		// RFC 7692, 7.2.1: "Remove 4 octets (that are 0x00 0x00 0xff 0xff)
		// from the tail end."
		dst = dst[:len(dst)-len(tail)]
	}
	return dst
}

// Commit says that the piece last given to Append, and fin, are on their way.
func (d *Deflater) Commit(p []byte, fin bool) {
	if fin && !d.takeover {
		d.dict, d.synced = nil, 0
		return
	}
	d.synced = d.tries
	size := min(dictSize, 1<<d.bits)
	if len(p) > size {
		p = p[len(p)-size:]
	}
	if over := len(d.dict) + len(p) - size; over > 0 {
		d.dict = d.dict[:copy(d.dict, d.dict[over:])]
	}
	if need := len(d.dict) + len(p); need > cap(d.dict) {
		d.dict = append(make([]byte, 0, min(size, max(need, 2*cap(d.dict)))), d.dict...)
	}
	d.dict = append(d.dict, p...)
}
