package stream

import "sync"

// maxQueued bounds a queue, in blocks of 16 KiB: 64 KiB in all.
const maxQueued = 4

// block is one piece of a queue, about as long as a TLS record.
type block struct {
	next *block
	r, w int // data[r:w] is queued
	data [16<<10 - 24]byte
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// queue is a bounded first-in first-out queue of bytes. An empty one holds no
// memory.
type queue struct {
	head, tail *block
	n          int // blocks
}

func (q *queue) empty() bool { return q.head == nil }

// put copies as much of p as there is room for. It leaves alone what next has
// returned.
func (q *queue) put(p []byte) (n int) {
	for n < len(p) {
		if q.tail == nil || q.tail.w == len(q.tail.data) {
			if q.n == maxQueued {
				break
			}
			q.add()
		}
		k := copy(q.tail.data[q.tail.w:], p[n:])
		q.tail.w += k
		n += k
	}
	return n
}

func (q *queue) add() {
	b := blocks.Get().(*block)
	b.next, b.r, b.w = nil, 0, 0
	if q.tail == nil {
		q.head = b
	} else {
		q.tail.next = b
	}
	q.tail = b
	q.n++
}

// next returns the oldest bytes, which stay in the queue until they are
// dropped. The queue must not be empty.
func (q *queue) next() []byte { return q.head.data[q.head.r:q.head.w] }

// drop removes the first n bytes of what next returned.
func (q *queue) drop(n int) {
	b := q.head
	b.r += n
	if b.r < b.w {
		return
	}
	q.head = b.next
	if q.head == nil {
		q.tail = nil
	}
	q.n--
	blocks.Put(b)
}

func (q *queue) reset() {
	for !q.empty() {
		q.drop(len(q.next()))
	}
}

// take moves the oldest bytes into p, as many as there are and p takes.
func (q *queue) take(p []byte) (n int) {
	for n < len(p) && !q.empty() {
		k := copy(p[n:], q.next())
		q.drop(k)
		n += k
	}
	return n
}
