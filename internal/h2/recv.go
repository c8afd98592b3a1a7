package h2

import "sync"

// What has come for a stream and was not read yet lies in blocks. Small ones
// are for messages that come one by one, so that a thousand streams with a few
// bytes each do not hold 16 MiB.
const (
	smallBlock = 1 << 10
	largeBlock = 16 << 10
)

type recvBlock struct {
	next *recvBlock
	r    int
	b    []byte // b[r:] was not read
}

var (
	smallBlocks = sync.Pool{New: func() any { return &recvBlock{b: make([]byte, 0, smallBlock)} }}
	largeBlocks = sync.Pool{New: func() any { return &recvBlock{b: make([]byte, 0, largeBlock)} }}
)

func newRecvBlock(n int) *recvBlock {
	if n <= smallBlock {
		return smallBlocks.Get().(*recvBlock)
	}
	return largeBlocks.Get().(*recvBlock)
}

func (b *recvBlock) free() {
	b.next, b.r, b.b = nil, 0, b.b[:0]
	if cap(b.b) == smallBlock {
		smallBlocks.Put(b)
	} else {
		largeBlocks.Put(b)
	}
}

// A recvQueue is what was received: first in, first out. The window of the
// stream bounds it.
type recvQueue struct{ head, tail *recvBlock }

func (q *recvQueue) empty() bool { return q.head == nil }

func (q *recvQueue) put(p []byte) {
	for len(p) > 0 {
		if q.tail == nil || len(q.tail.b) == cap(q.tail.b) {
			b := newRecvBlock(len(p))
			if q.tail == nil {
				q.head = b
			} else {
				q.tail.next = b
			}
			q.tail = b
		}
		t := q.tail
		n := min(len(p), cap(t.b)-len(t.b))
		t.b = append(t.b, p[:n]...)
		p = p[n:]
	}
}

func (q *recvQueue) take(p []byte) (n int) {
	for n < len(p) && q.head != nil {
		b := q.head
		k := copy(p[n:], b.b[b.r:])
		n += k
		if b.r += k; b.r < len(b.b) {
			break
		}
		if q.head = b.next; q.head == nil {
			q.tail = nil
		}
		b.free()
	}
	return n
}

func (q *recvQueue) reset() {
	for b := q.head; b != nil; {
		next := b.next
		b.free()
		b = next
	}
	*q = recvQueue{}
}
