package deflate

import "sync"

const maxWindow = 32 << 10

// A window keeps the last bytes of what was inflated. It is a ring that grows
// with what is put in until it has its size, and holds no more memory than
// twice that before.
type window struct {
	b    []byte // grows up to size
	next int    // once len(b) is size: where the oldest byte is and the next goes
	size int    // a power of two
}

// windows are for messages whose window ends with them.
var windows = sync.Pool{New: func() any { return new([maxWindow]byte) }}

// borrow makes w use a pooled window, if it has none.
func (w *window) borrow() {
	if w.b == nil {
		w.b = windows.Get().(*[maxWindow]byte)[:0]
	}
}

// giveBack ends what borrow began.
func (w *window) giveBack() {
	if w.b != nil {
		windows.Put((*[maxWindow]byte)(w.b[:maxWindow]))
	}
	w.b, w.next = nil, 0
}

func (w *window) add(p []byte) {
	if len(p) > w.size {
		p = p[len(p)-w.size:]
	}
	if room := w.size - len(w.b); room > 0 {
		k := min(len(p), room)
		w.grow(k)
		w.b = append(w.b, p[:k]...)
		p = p[k:]
	}
	if len(p) > 0 {
		k := copy(w.b[w.next:], p)
		copy(w.b, p[k:])
		w.next = (w.next + len(p)) & (w.size - 1)
	}
}

func (w *window) grow(n int) {
	if n += len(w.b); n > cap(w.b) {
		b := make([]byte, len(w.b), min(w.size, max(n, 2*cap(w.b), 256)))
		copy(b, w.b)
		w.b = b
	}
}

// back copies to dst what begins back bytes before the end of the window and
// returns how much that is: less than len(dst) if the window ends first.
func (w *window) back(dst []byte, back int) int {
	dst = dst[:min(len(dst), back)]
	from := w.next + len(w.b) - back
	if from < len(w.b) {
		k := copy(dst, w.b[from:])
		return k + copy(dst[k:], w.b)
	}
	return copy(dst, w.b[from-len(w.b):])
}
