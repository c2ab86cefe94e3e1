// Uploads to a server as often as it is told, and says on a line of JSON what went wrong how often.
//
//	client URL METHOD SIZE FRAMING RUNS STATUS RATE AT_ONCE
//
// FRAMING is "length" or "chunked"; RATE is in bytes a second, 0 for none. After each upload
// the same client asks for /plain, which must be answered, whatever became of the connection.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// paced reads zeros at a rate.
type paced struct {
	left, rate int
}

func (p *paced) Read(into []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	size := len(into)
	if size > p.left {
		size = p.left
	}
	if p.rate > 0 {
		if size > p.rate/50 {
			size = p.rate / 50
		}
		time.Sleep(time.Duration(size) * time.Second / time.Duration(p.rate))
	}
	p.left -= size
	return size, nil
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

// answer returns what is wrong with an answer.
func answer(client *http.Client, request *http.Request, status int) string {
	response, err := client.Do(request)
	if err != nil {
		if inner, ok := err.(*url.Error); ok {
			err = inner.Err
		}
		return fmt.Sprintf("%T: %v", err, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Sprintf("body: %v", err)
	}
	if response.StatusCode != status || len(body) == 0 {
		return fmt.Sprintf("status %d, %d bytes", response.StatusCode, len(body))
	}
	return ""
}

func main() {
	target, method, size, framing := os.Args[1], os.Args[2], number(os.Args[3]), os.Args[4]
	runs, status, rate, atOnce := number(os.Args[5]), number(os.Args[6]), number(os.Args[7]), number(os.Args[8])
	plain, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	plain.Path = "/plain"
	upload := func(client *http.Client) string {
		var body io.Reader = &paced{size, rate}
		if rate == 0 {
			body = bytes.NewReader(make([]byte, size))
		}
		if framing == "chunked" {
			body = io.MultiReader(body) // hides how long it is
		}
		request, err := http.NewRequest(method, target, body)
		if err != nil {
			panic(err)
		}
		if framing == "length" {
			request.ContentLength = int64(size)
		}
		if wrong := answer(client, request, status); wrong != "" {
			return wrong
		}
		follow, _ := http.NewRequest("GET", plain.String(), nil)
		if wrong := answer(client, follow, 200); wrong != "" {
			return "the next request: " + wrong
		}
		return ""
	}
	var lock sync.Mutex
	var clients sync.WaitGroup
	wrongs := map[string]int{}
	for i := 0; i < atOnce; i++ {
		clients.Add(1)
		go func(share int) {
			defer clients.Done()
			client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
			for run := 0; run < share; run++ {
				if wrong := upload(client); wrong != "" {
					lock.Lock()
					wrongs[wrong]++
					lock.Unlock()
				}
			}
		}((runs + i) / atOnce)
	}
	clients.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(wrongs); err != nil {
		panic(err)
	}
}
