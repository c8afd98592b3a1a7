package main

import (
	"fmt"
	"math/rand/v2"
)

// documentCount makes what comes back later than a window of 32 KiB reaches.
const documentCount = 64

// documents returns JSON texts of size bytes each: records of the kind that
// services exchange, alike in their keys and not in their values.
func documents(size int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	states := []string{"pending", "running", "done", "failed"}
	docs := make([][]byte, documentCount)
	for i := range docs {
		b := fmt.Appendf(nil, `{"seq":%d,"items":[`, i)
		for {
			item := fmt.Sprintf(`{"id":"%016x","name":"user-%d","state":"%s","score":%.3f,"active":%v},`,
				rnd.Uint64(), rnd.IntN(5000), states[rnd.IntN(len(states))], rnd.Float64()*100, rnd.IntN(2) == 0)
			if len(b)+len(item)+len(`{}]}`) > size {
				break
			}
			b = append(b, item...)
		}
		for b = append(b, `{}]}`...); len(b) < size; {
			b = append(b, ' ')
		}
		docs[i] = b
	}
	return docs
}
