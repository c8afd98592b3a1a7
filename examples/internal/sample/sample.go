// Package sample generates files to stream, of any size in little memory. The
// same size gives the same file.
package sample

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
)

// waves is a picture that is computed pixel by pixel.
type waves struct {
	width, height int
	row, column   []float64 // of the interference
}

func newWaves(width, height int) *waves {
	w := &waves{width, height, make([]float64, height), make([]float64, width)}
	for y := range w.row {
		w.row[y] = math.Sin(float64(y)*7/1024) + math.Sin(float64(y)*19/1024)
	}
	for x := range w.column {
		w.column[x] = math.Sin(float64(x)*5/1024) + math.Cos(float64(x)*23/1024)
	}
	return w
}

func (w *waves) ColorModel() color.Model { return color.RGBAModel }
func (w *waves) Bounds() image.Rectangle { return image.Rect(0, 0, w.width, w.height) }
func (w *waves) Opaque() bool            { return true } // so that no alpha is encoded
func (w *waves) At(x, y int) color.Color { return w.rgba(x, y) }

func (w *waves) rgba(x, y int) color.RGBA {
	v := math.Floor((w.row[y]+w.column[x]+4)*4) / 32 // 0 to 1, in bands
	return color.RGBA{uint8(40 + 120*v*v), uint8(60 + 150*v), uint8(120 + 130*math.Sqrt(v)), 255}
}

// PNG writes a picture of about size bytes, which are not compressed.
func PNG(w io.Writer, size int64) error {
	const bytesPerPixel = 3
	pixels := max(size/bytesPerPixel, 64*48)
	width := int(math.Sqrt(float64(pixels) * 4 / 3))
	encoder := png.Encoder{CompressionLevel: png.NoCompression}
	return encoder.Encode(w, newWaves(width, int(pixels)/width))
}

// WAV writes sound of size bytes: mono, 16 bits, 44.1 kHz, a chord that swells.
func WAV(w io.Writer, size int64) error {
	const header, rate = 44, 44100
	samples := max(size-header, 0) / 2
	b := bufio.NewWriter(w)
	binary.Write(b, binary.LittleEndian, struct {
		RIFF                    [4]byte
		Size                    uint32
		WAVE, Fmt               [4]byte
		FmtSize                 uint32
		PCM, Channels           uint16
		Rate, BytesPerSecond    uint32
		BytesPerSample, BitsPer uint16
		Data                    [4]byte
		DataSize                uint32
	}{
		[4]byte([]byte("RIFF")), uint32(header - 8 + 2*samples), [4]byte([]byte("WAVE")), [4]byte([]byte("fmt ")),
		16, 1, 1, rate, 2 * rate, 2, 16, [4]byte([]byte("data")), uint32(2 * samples),
	})
	var sample [2]byte
	for i := range samples {
		t := float64(i) / rate
		v := (math.Sin(2*math.Pi*220*t) + math.Sin(2*math.Pi*277.18*t) + math.Sin(2*math.Pi*329.63*t)) / 3 * (0.5 - 0.5*math.Cos(2*math.Pi*t/4))
		binary.LittleEndian.PutUint16(sample[:], uint16(int16(v*30000)))
		b.Write(sample[:])
	}
	return b.Flush() // the first error of all above
}

// Create makes a file of kind png or wav in dir.
func Create(dir, kind string, size int64) (path string, err error) {
	write, ok := map[string]func(io.Writer, int64) error{"png": PNG, "wav": WAV}[kind]
	if !ok {
		return "", fmt.Errorf("%q is neither png nor wav", kind)
	}
	f, err := os.Create(filepath.Join(dir, "sample."+kind))
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(write(f, size), f.Close())
}
