package interop_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"unicode/utf8"
)

// A dataset is what messages are cut from, one after another and from the
// beginning again, as the testsuite does with its files.
type dataset struct {
	name  string
	op    byte
	dense bool // hardly gets smaller, or not in every part
	data  func() []byte
}

// datasetSize is more than the longest message.
const datasetSize = 256 << 10

// datasets are those of the testsuite by kind. Its files are not here: these
// are made of nothing, the same each time.
var datasets = []dataset{
	{"JSON", opText, false, made(jsonData)},
	{"a greyscale bitmap", opBin, true, made(bitmapData)},
	{"German prose", opBin, false, made(proseData)},
	{"HTML", opText, false, made(htmlData)},
	{"a PDF's bytes", opBin, true, made(documentData)},
}

// part returns n bytes from the i-th on, text with no character cut.
func (d dataset) part(i, n int) []byte {
	data := d.data()
	i %= len(data)
	p := make([]byte, n)
	copy(p[copy(p, data[i:]):], data)
	if d.op == opText {
		p = bytes.ToValidUTF8(p, nil)
		for len(p) < n {
			p = append(p, '.')
		}
	}
	return p
}

// made returns a function that calls add until there is enough.
func made(add func(b []byte, rnd *rand.Rand) []byte) func() []byte {
	return sync.OnceValue(func() []byte {
		rnd := rand.New(rand.NewPCG(7692, 1951))
		b := make([]byte, 0, datasetSize)
		for len(b) < datasetSize {
			b = add(b, rnd)
		}
		for b = b[:datasetSize]; !utf8.FullRune(b[len(b)-utf8.UTFMax:]); {
			b = b[:len(b)-1]
		}
		return b
	})
}

func jsonData(b []byte, rnd *rand.Rand) []byte {
	tags := []string{"été", "水", "new", "sold", "late"}
	return fmt.Appendf(b, `{"id":%d,"price":%.2f,"tags":["%s","%s"],"seen":%t,"at":{"lat":%.5f,"lon":%.5f}},`,
		rnd.Uint32(), rnd.Float64()*500, tags[rnd.IntN(5)], tags[rnd.IntN(5)], rnd.IntN(2) == 0, rnd.Float64()*90, rnd.Float64()*180)
}

// bitmapData adds a row of 512 pixels: a slope with noise.
func bitmapData(b []byte, rnd *rand.Rand) []byte {
	y := len(b) / 512
	for x := range 512 {
		b = append(b, byte(x/4+y/8+rnd.IntN(4)))
	}
	return b
}

func proseData(b []byte, rnd *rand.Rand) []byte {
	words := strings.Fields("und die der das Geist Himmel Erde nicht ich du er ihr wohl Welt Nacht Tag schön Kraft für über " +
		"Größe spricht geht weiß steht will soll muss kein mein dein Wort Tat Herz Sinn Feuer Wasser Luft Mensch Teufel Engel")
	for range 6 + rnd.IntN(4) {
		b = append(append(b, words[rnd.IntN(len(words))]...), ' ')
	}
	b[len(b)-1] = ",.;!?"[rnd.IntN(5)]
	return append(b, '\n')
}

func htmlData(b []byte, rnd *rand.Rand) []byte {
	return proseData(fmt.Appendf(b, "<tr class=\"row-%d\"><td><a href=\"/item/%x\">№ %d</a></td><td>", rnd.IntN(2), rnd.Uint32(), rnd.IntN(1000)), rnd)
}

// documentData adds an object whose stream is compressed already.
func documentData(b []byte, rnd *rand.Rand) []byte {
	var stream bytes.Buffer
	w, _ := flate.NewWriter(&stream, flate.BestCompression)
	for range 20 + rnd.IntN(100) {
		w.Write(proseData(nil, rnd))
	}
	w.Close()
	b = fmt.Appendf(b, "%d 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n", rnd.IntN(1000), stream.Len())
	return append(append(b, stream.Bytes()...), "\nendstream\nendobj\n"...)
}
