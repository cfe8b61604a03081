from mpfast import Pool
import time

def compute_square(n):
    print(f'Processing number: {n}')
    time.sleep(1)  # Simulate a time-consuming computation
    return n * n

if __name__ == '__main__':
    numbers = [1, 2, 3, 4, 5]

    with Pool(processes=4) as pool:
        results = pool.map(compute_square, numbers)

    print(results)  # Outputs: [1, 4, 9, 16, 25]
