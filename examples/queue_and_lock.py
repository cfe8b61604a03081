from mpfast import Process, Queue, Lock, current_process
import time

def worker(q, lock, num):
    with lock:
        print(f'{current_process().name} working on {num}')
        time.sleep(1)
        q.put(num * 2)  # Simulate some computation

if __name__ == '__main__':
    q = Queue()
    lock = Lock()
    numbers = [1, 2, 3, 4, 5]

    processes = [Process(target=worker, args=(q, lock, num)) for num in numbers]

    for p in processes:
        p.start()

    for p in processes:
        p.join()

    results = []
    while not q.empty():
        results.append(q.get())

    print(results)  # Outputs: [2, 4, 6, 8, 10]
